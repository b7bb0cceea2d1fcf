package gptserver;

import gptserver.audio.v1.SpeechFinished;
import gptserver.audio.v1.SpeechStarted;

/**
 * What was written to a file.
 *
 * @param started form, rate and channels
 * @param finished length in seconds, timings
 */
public record Speech(SpeechStarted started, SpeechFinished finished) {}
