// Streams, events, and the scheduler that decides what runs next.
#include <algorithm>
#include <chrono>

#include "driver.hpp"

namespace fake {

static double now_ms() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

int unsafe_in_capture() {
    for (Capture* capture : state().captures) {
        const bool here = capture->thread == std::this_thread::get_id();
        // CU_STREAM_CAPTURE_MODE_GLOBAL 0 forbids it to every thread, THREAD_LOCAL 1 to this one, RELAXED 2 to none.
        if (capture->mode == 0 || (capture->mode == 1 && here)) {
            invalidate(capture);
            return kCaptureUnsupported;
        }
    }
    return kSuccess;
}

int legacy_in_capture() {
    for (Stream* stream : state().streams) {
        if (!stream->capture || !stream->blocking) continue;
        invalidate(stream->capture);
        return kCaptureImplicit;
    }
    return kSuccess;
}

int put(Stream* stream, Work work) {
    if (!stream) {
        const int refused = legacy_in_capture();
        return refused ? refused : static_cast<int>(kNotSupported);
    }
    if (!state().streams.count(stream)) return kInvalidHandle;
    if (stream->capture) {
        if (stream->capture->invalid) return kCaptureInvalidated;
        add_node(stream, std::move(work));
        return kSuccess;
    }
    stream->queue.push_back({std::move(work), nullptr, nullptr, nullptr});
    return kSuccess;
}

static bool ready(const Stream* stream) {
    if (stream->queue.empty()) return false;
    const Operation& head = stream->queue.front();
    if (head.replay) return !head.replay->ready().empty() || head.replay->done();
    return !stream->busy && !(head.wait && !head.wait->passed);
}

static Stream* choose() {
    std::vector<Stream*> able;
    for (auto* streams : {&state().streams, &state().zombies})
        for (Stream* stream : *streams)
            if (ready(stream)) able.push_back(stream);
    if (able.empty()) return nullptr;
    std::sort(able.begin(), able.end(), [](auto* a, auto* b) { return a->serial < b->serial; });
    std::uniform_real_distribution<double> chance(0, 1);
    if (chance(state().random) < state().stickiness)
        for (Stream* stream : able)
            if (stream == state().last_run) return stream;
    return able[std::uniform_int_distribution<size_t>(0, able.size() - 1)(state().random)];
}

static void run(const Work& work, Lock& lock) {
    int code = injected("execution");
    if (!code && work.calls_host) {
        // The caller's code may need a lock (Python's) that another thread holds while it waits for ours.
        lock.unlock();
        code = work.run();
        lock.lock();
    } else if (!code) {
        code = work.run();
    }
    if (code && !state().broken) state().broken = code;
}

static void step_replay(Stream* stream, Lock& lock) {
    const std::shared_ptr<Replay> replay = stream->queue.front().replay;
    const std::vector<int> able = replay->ready();
    if (!able.empty()) {
        const int node = able[std::uniform_int_distribution<size_t>(0, able.size() - 1)(state().random)];
        replay->started[node] = 1;
        run(replay->graph->nodes[node].work, lock);
        replay->finished[node] = 1;
    }
    const bool mine = !stream->queue.empty() && stream->queue.front().replay == replay;
    if (mine && replay->done()) stream->queue.pop_front();
}

static void step_one(Stream* stream, Lock& lock) {
    Operation operation = std::move(stream->queue.front());
    if (operation.record) {
        operation.record->passed = true;
        operation.record->milliseconds = now_ms();
        stream->queue.pop_front();
    } else if (operation.wait) {
        stream->queue.pop_front();
    } else {
        stream->busy = true;
        run(operation.work, lock);
        stream->busy = false;
        if (!stream->queue.empty()) stream->queue.pop_front();
    }
}

static void abandon() {  // after a failed kernel nothing of the context runs any more
    for (auto* streams : {&state().streams, &state().zombies})
        for (Stream* stream : *streams)
            if (!stream->busy) stream->queue.clear();
}

bool step(Lock& lock) {
    if (state().broken) abandon();
    Stream* stream = choose();
    if (!stream) return false;
    state().last_run = stream;
    if (stream->queue.front().replay)
        step_replay(stream, lock);
    else
        step_one(stream, lock);
    if (stream->destroyed && stream->queue.empty() && state().zombies.erase(stream)) delete stream;
    return true;
}

// Other threads get in between two steps: a host function may be waiting for one of them.
static void breathe(Lock& lock) {
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
}

static int drain_until(const std::function<bool()>& done, Lock& lock) {
    while (!done() && !state().broken) {
        step(lock);
        breathe(lock);
    }
    if (state().broken) abandon();
    return state().broken;
}

int drain(Stream* stream, Lock& lock) {
    return drain_until([=] { return !state().streams.count(stream) || stream->queue.empty(); }, lock);
}

int drain_all(Lock& lock, bool only_blocking) {
    return drain_until(
        [=] {
            for (Stream* stream : state().streams)
                if ((!only_blocking || stream->blocking) && !stream->queue.empty()) return false;
            return only_blocking || state().zombies.empty();
        },
        lock);
}

// A query lets some work through, as time passing would; more of it each time that somebody asks in vain, since the
// caller sleeps longer each time, too.
static void progress(Lock& lock) {
    const int most = 2 << std::min(state().vain_queries, 8);
    for (auto left = std::uniform_int_distribution<int>(0, most)(state().random); left > 0; --left) step(lock);
}

static int answer(bool done) {
    if (state().broken) return state().broken;
    state().vain_queries = done ? 0 : state().vain_queries + 1;
    return done ? kSuccess : kNotReady;
}

}  // namespace fake

using namespace fake;

constexpr unsigned kNonBlocking = 1, kDisableTiming = 2;

API cuStreamCreate(Stream** stream, unsigned flags) {
    ENTER("cuStreamCreate", kHealthy);
    *stream = new Stream;
    (*stream)->serial = state().streams_made++;
    (*stream)->blocking = !(flags & kNonBlocking);
    state().streams.insert(*stream);
    return kSuccess;
}

API cuStreamCreateWithPriority(Stream** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

API cuStreamDestroy_v2(Stream* stream) {
    ENTER("cuStreamDestroy", kContext);
    if (!state().streams.erase(stream)) return kInvalidHandle;
    if (stream->capture) invalidate(stream->capture);
    stream->destroyed = true;
    if (stream->queue.empty())
        delete stream;
    else
        state().zombies.insert(stream);
    return state().broken;
}

static int usable(Stream* stream) {  // for calls that look at what a stream has done
    if (!state().streams.count(stream)) return stream ? kInvalidHandle : kNotSupported;
    if (!stream->capture) return kSuccess;
    invalidate(stream->capture);
    return kCaptureUnsupported;
}

API cuStreamSynchronize(Stream* stream) {
    ENTER("cuStreamSynchronize", kHealthy);
    if (int refused = usable(stream)) return refused;
    return drain(stream, call.lock);
}

API cuStreamQuery(Stream* stream) {
    ENTER("cuStreamQuery", kHealthy);
    if (int refused = usable(stream)) return refused;
    progress(call.lock);
    return answer(stream->queue.empty());
}

API cuCtxSynchronize() {
    ENTER("cuCtxSynchronize", kHealthy);
    if (int refused = unsafe_in_capture()) return refused;
    return drain_all(call.lock, false);
}

static int join(Stream* stream, Capture* capture, const std::vector<int>& nodes) {
    if (stream->capture && stream->capture != capture) return kCaptureMerge;
    stream->capture = capture;
    for (int node : nodes) stream->tail.push_back(node);
    return kSuccess;
}

API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    ENTER("cuStreamWaitEvent", kHealthy);
    if (!state().streams.count(stream) || !state().events.count(event)) return kInvalidHandle;
    const MarkPointer& mark = event->last;
    if (mark && mark->capture) {
        if (!state().captures.count(mark->capture)) return kCaptureIsolation;
        return join(stream, mark->capture, mark->nodes);
    }
    if (stream->capture) {
        invalidate(stream->capture);
        return kCaptureIsolation;
    }
    if (mark) stream->queue.push_back({{}, mark, nullptr, nullptr});
    return kSuccess;
}

API cuEventCreate(Event** event, unsigned flags) {
    ENTER("cuEventCreate", kHealthy);
    *event = new Event;
    (*event)->timing = !(flags & kDisableTiming);
    state().events.insert(*event);
    return kSuccess;
}

API cuEventDestroy_v2(Event* event) {
    ENTER("cuEventDestroy", kContext);
    if (!state().events.erase(event)) return kInvalidHandle;
    delete event;
    return state().broken;
}

API cuEventRecord(Event* event, Stream* stream) {
    ENTER("cuEventRecord", kHealthy);
    if (!state().events.count(event)) return kInvalidHandle;
    if (!state().streams.count(stream)) return stream ? kInvalidHandle : kNotSupported;
    auto mark = std::make_shared<Mark>();
    if (stream->capture) {
        if (stream->capture->invalid) return kCaptureInvalidated;
        mark->capture = stream->capture;
        mark->nodes = stream->tail;
    } else {
        stream->queue.push_back({{}, nullptr, mark, nullptr});
    }
    event->last = mark;
    return kSuccess;
}

static int seen_from_host(Event* event) {
    if (!state().events.count(event)) return kInvalidHandle;
    if (!event->last || !event->last->capture) return kSuccess;
    if (state().captures.count(event->last->capture)) invalidate(event->last->capture);
    return kCapturedEvent;
}

API cuEventQuery(Event* event) {
    ENTER("cuEventQuery", kHealthy);
    if (int refused = seen_from_host(event)) return refused;
    const MarkPointer mark = event->last;
    progress(call.lock);
    return answer(!mark || mark->passed);
}

API cuEventSynchronize(Event* event) {
    ENTER("cuEventSynchronize", kHealthy);
    if (int refused = seen_from_host(event)) return refused;
    const MarkPointer mark = event->last;
    return mark ? drain_until([=] { return mark->passed; }, call.lock) : static_cast<int>(kSuccess);
}

API cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
    ENTER("cuEventElapsedTime", kHealthy);
    for (Event* event : {start, end}) {
        if (int refused = seen_from_host(event)) return refused;
        if (!event->timing || !event->last) return kInvalidHandle;
        if (!event->last->passed) return kNotReady;
    }
    *milliseconds = static_cast<float>(end->last->milliseconds - start->last->milliseconds);
    return kSuccess;
}

API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

API cuLaunchHostFunc(Stream* stream, void (*function)(void*), void* data) {
    ENTER("cuLaunchHostFunc", kHealthy);
    return put(stream, {"host function", [=] { function(data); return int(kSuccess); }, true});
}
