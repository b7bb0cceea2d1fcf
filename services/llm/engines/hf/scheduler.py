"""The model's thread: which rows run, and one step after the other.

A step is at most one chunk of prompt and then one token for every running row, so a long prompt holds the others up
for one chunk at a time. Prompts are computed one by one, in the order of their priority; a prompt of several choices
once. Everything here but `submit`, `call`, `abort`, `stop` and `running` happens in the thread.
"""

import heapq
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
import xgrammar
from transformers.cache_utils import DynamicCache

from gpt_server.services.common.errors import Overloaded
from gpt_server.services.llm.collector import Collector
from gpt_server.services.llm.engine import Output
from gpt_server.services.llm.engines.hf.cache import RowCache
from gpt_server.services.llm.engines.hf.job import Job
from gpt_server.services.llm.engines.hf.model import LoadedModel
from gpt_server.services.llm.engines.hf.plan import Plan
from gpt_server.services.llm.engines.hf.row import Row, token_logprob
from gpt_server.services.llm.engines.hf.sampling import Sampled, SamplingState, sample, score_prompt

log = logging.getLogger(__name__)

#: Decode steps that may fail one after the other; one more, and the thread gives up.
_FAILURES_ALLOWED = 2


#: What a step has for one request: new output, or the error that ends it.
News = tuple[Collector, Output | BaseException]


class Scheduler:
    """Runs jobs in a thread of its own.

    Args:
        model: what runs them.
        max_running: rows at the same time.
        chunk_tokens: prompt tokens per step.
        deliver: takes the news of a step; called in the thread.
        died: called in the thread when it cannot go on.
    """

    def __init__(
        self,
        model: LoadedModel,
        max_running: int,
        chunk_tokens: int,
        deliver: Callable[[Sequence[News]], object],
        died: Callable[[BaseException], object],
    ) -> None:
        self._model = model
        self._max_running = max_running
        self._chunk_tokens = chunk_tokens
        self._deliver = deliver
        self._died = died
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = False
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, Job]] = []
        self._prefilling: Job | None = None
        self._prompt = DynamicCache()
        self._rows: list[tuple[Row, Job]] = []
        self._cache = RowCache()
        self._news: list[News] = []
        self._failures = 0
        self._thread = Thread(target=self._run, name="hf-model", daemon=True)
        self._thread.start()

    def submit(self, plan: Plan, collector: Collector) -> Job:
        """Queues a request. Its output goes to `deliver`, with its collector."""
        job = Job(plan, collector)
        self._commands.put(partial(self._enter, job))
        return job

    def call(self, action: Callable[[], None]) -> Future[None]:
        """Runs something in the thread, between two steps."""
        future: Future[None] = Future()

        def run() -> None:
            try:
                action()
                future.set_result(None)
            except Exception as error:
                future.set_exception(error)

        self._commands.put(run)
        return future

    def abort(self, job: Job) -> None:
        """Takes a request out before the next step, wherever it is."""
        job.aborted = True
        self._commands.put(lambda: None)

    def stop(self) -> None:
        """Ends the thread after the step it is in and waits for that. Jobs that are left get no more news."""
        self._commands.put(self._leave)
        self._thread.join()

    def running(self) -> int:
        """Returns how many rows hold memory, those whose prompt is being computed included."""
        job = self._prefilling
        return len(self._rows) + (job.plan.choices if job else 0)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._obey()
                if self._prefilling or self._rows or self._waiting:
                    self._step()
        except BaseException as error:
            log.exception("the model's thread has died")
            self._died(error)

    def _obey(self) -> None:
        if not (self._prefilling or self._rows or self._waiting):
            self._commands.get()()
        while not self._commands.empty():
            self._commands.get()()

    def _enter(self, job: Job) -> None:
        heapq.heappush(self._waiting, (job.plan.request.priority or 0, next(self._order), job))

    def _leave(self) -> None:
        self._stopping = True

    @torch.inference_mode()
    def _step(self) -> None:
        self._drop_aborted()
        self._prefill()
        if self._rows:
            self._guarded_decode()
        if self._news:
            self._deliver(self._news)
            self._news = []

    def _drop_aborted(self) -> None:
        if self._prefilling is not None and self._prefilling.aborted:
            self._end_prefill()
        for index in range(len(self._rows) - 1, -1, -1):
            if self._rows[index][1].aborted:
                self._remove(index)

    def _remove(self, index: int) -> None:
        self._cache.remove(index)
        self._rows[index] = self._rows[-1]
        self._rows.pop()

    def _prefill(self) -> None:
        room = self._chunk_tokens
        while room > 0 and (job := self._prefilling or self._next()):
            try:
                room -= self._prefill_chunk(job, room)
            except Exception as error:
                self._end_prefill()
                self._fail([job], error)
                return

    def _next(self) -> Job | None:
        while self._waiting:
            job = self._waiting[0][2]
            if not job.aborted and len(self._rows) + job.plan.choices > self._max_running:
                return None
            heapq.heappop(self._waiting)
            if not job.aborted:
                job.started = time.monotonic()
                self._prefilling, self._prompt = job, DynamicCache()
                return job
        return None

    def _prefill_chunk(self, job: Job, room: int) -> int:
        done = self._prompt.get_seq_length()
        step: dict[str, Any] = {"past_key_values": self._prompt}
        if job.plan.media:
            # Whole, since pictures cannot be cut; the model knows the positions of their tokens.
            chunk = job.plan.prompt_token_ids
            step |= self._model.placed(job.plan.media)
        else:
            chunk = job.plan.prompt_token_ids[done : done + room]
            step["position_ids"] = torch.arange(done, done + len(chunk), device=self._model.device)[None]
        rows = [(chunk, job.plan.request.adapter)]
        if job.plan.prompt_logprobs is None:
            logits = self._model.forward(rows, **step)
        else:
            logits = self._scored(job, done, self._model.forward_whole(rows, **step))
        if done + len(chunk) == len(job.plan.prompt_token_ids):
            self._begin_rows(job, logits)
            self._end_prefill()
        return len(chunk)

    def _scored(self, job: Job, done: int, logits: torch.Tensor) -> torch.Tensor:
        """Scores the prompt's tokens that come after those of a chunk; returns the logits of its last one."""
        following = job.plan.prompt_token_ids[done + 1 : done + 1 + len(logits)]
        if done == 0:
            job.prompt_scores.append(Sampled(job.plan.prompt_token_ids[0]))
        job.prompt_scores += score_prompt(logits, following, job.plan.prompt_logprobs or 0)
        return logits[-1:].float()

    def _begin_rows(self, job: Job, logits: torch.Tensor) -> None:
        plan = job.plan
        for choice in range(plan.choices):
            state = SamplingState.create(
                plan.sampling, choice, plan.prompt_token_ids, self._model.details.vocab_size, self._model.device
            )
            if plan.grammar is not None:
                state.matcher = xgrammar.GrammarMatcher(
                    plan.grammar, terminate_without_stop_token=not self._model.details.eos_token_ids
                )
            job.rows.append(Row(self._model, plan, choice, state))
        self._accept(logits.repeat(plan.choices, 1), [(row, job) for row in job.rows])
        job.first_token = time.monotonic()
        if job.prompt_scores:
            logprobs = [token_logprob(self._model, each) for each in job.prompt_scores]
            self._news.append((job.collector, Output(prompt_logprobs=logprobs)))
            job.prompt_scores = []
        going_on = [row for row in job.rows if row.finish is None]
        if going_on:
            self._cache.add(self._prompt, len(going_on), self._model.position_shift() if plan.media else 0)
            self._rows += [(row, job) for row in going_on]
        self._tell([job])

    def _end_prefill(self) -> None:
        self._prefilling, self._prompt = None, DynamicCache()

    def _guarded_decode(self) -> None:
        try:
            self._decode()
            self._failures = 0
        except Exception as error:
            jobs = list(dict.fromkeys(job for _, job in self._rows))
            self._rows = []
            self._cache.clear()
            self._failures += not _is_out_of_memory(error)
            self._fail(jobs, error)

    def _decode(self) -> None:
        rows = [([row.last], job.plan.request.adapter) for row, job in self._rows]
        logits = self._model.forward(rows, **self._cache.step(self._model.device))
        self._cache.advance()
        self._accept(logits, self._rows)
        jobs = list(dict.fromkeys(job for _, job in self._rows))
        for index in range(len(self._rows) - 1, -1, -1):
            if self._rows[index][0].finish is not None:
                self._remove(index)
        self._tell(jobs)

    def _accept(self, logits: torch.Tensor, rows: Sequence[tuple[Row, Job]]) -> None:
        sampled = sample(logits, [row.sampling for row, _ in rows])
        for (row, _), token in zip(rows, sampled, strict=True):
            row.accept(token)

    def _tell(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            deltas = [delta for row in job.rows if (delta := row.take()) is not None]
            finished = job.finished()
            if deltas or finished:
                self._news.append((job.collector, Output(deltas, finished)))

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        log.error("a step has failed for %d requests", len(jobs), exc_info=error)
        if _is_out_of_memory(error):
            told: Exception = Overloaded("not enough memory for this request beside those that run", 5.0)
        else:
            told = RuntimeError(f"a step of the model has failed: {error!r}")
        self._news += [(job.collector, told) for job in jobs]
        # After an error of its own a device answers nothing but errors.
        if self._failures > _FAILURES_ALLOWED or isinstance(error, torch.AcceleratorError):
            raise error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
