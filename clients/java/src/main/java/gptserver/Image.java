package gptserver;

import com.google.protobuf.ByteString;
import gptserver.image.v1.ImageHeader;

/**
 * A finished image.
 *
 * @param header its seed, size and format
 * @param content the bytes of its file
 */
public record Image(ImageHeader header, ByteString content) {}
