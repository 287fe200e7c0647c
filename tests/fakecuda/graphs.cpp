// Capture of streams into graphs, and their replay.
#include <algorithm>

#include "driver.hpp"

namespace fake {

bool Replay::done() const { return std::all_of(finished.begin(), finished.end(), [](char one) { return one; }); }

std::vector<int> Replay::ready() const {
    std::vector<int> able;
    for (size_t node = 0; node < graph->nodes.size(); ++node) {
        const auto& after = graph->nodes[node].after;
        const bool free = std::all_of(after.begin(), after.end(), [this](int before) { return finished[before]; });
        if (free && !started[node]) able.push_back(static_cast<int>(node));
    }
    return able;
}

void add_node(Stream* stream, Work work) {
    stream->capture->nodes.push_back({std::move(work), stream->tail});
    stream->tail = {static_cast<int>(stream->capture->nodes.size()) - 1};
}

void invalidate(Capture* capture) { capture->invalid = true; }

// Whether every node comes before what the origin stream saw last: no fork was left open.
static bool joined(const Capture& capture) {
    std::set<int> reached(capture.origin->tail.begin(), capture.origin->tail.end());
    for (int node = static_cast<int>(capture.nodes.size()) - 1; node >= 0; --node)
        if (reached.count(node)) reached.insert(capture.nodes[node].after.begin(), capture.nodes[node].after.end());
    return reached.size() == capture.nodes.size();
}

static void leave(Capture* capture) {
    for (Stream* stream : state().streams) {
        if (stream->capture != capture) continue;
        stream->capture = nullptr;
        stream->tail.clear();
    }
    state().captures.erase(capture);
    state().ended.push_back(capture);  // events still point at it, and its address must not become another capture's
}

}  // namespace fake

using namespace fake;

API cuStreamBeginCapture_v2(Stream* stream, int mode) {
    ENTER("cuStreamBeginCapture", kHealthy);
    if (!state().streams.count(stream)) return stream ? kInvalidHandle : kCaptureUnsupported;
    if (stream->capture) return kInvalidValue;
    auto* capture = new Capture;
    capture->origin = stream;
    capture->thread = std::this_thread::get_id();
    capture->mode = mode;
    stream->capture = capture;
    state().captures.insert(capture);
    return kSuccess;
}

API cuStreamIsCapturing(Stream* stream, int* status) {
    ENTER("cuStreamIsCapturing", kHealthy);
    if (!state().streams.count(stream)) return kInvalidHandle;
    *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return kSuccess;
}

API cuStreamEndCapture(Stream* stream, GraphTemplate** graph) {
    ENTER("cuStreamEndCapture", kContext);
    *graph = nullptr;
    if (!state().streams.count(stream)) return kInvalidHandle;
    Capture* capture = stream->capture;
    if (!capture) return kInvalidValue;
    if (capture->origin != stream) return kCaptureUnmatched;
    if (capture->mode != 2 && capture->thread != std::this_thread::get_id()) return kCaptureWrongThread;
    const int code = capture->invalid ? kCaptureInvalidated : joined(*capture) ? kSuccess : kCaptureUnjoined;
    leave(capture);
    if (!code) {
        *graph = new GraphTemplate(*capture);
        state().graphs.insert(*graph);
    }
    return code;
}

API cuGraphGetNodes(GraphTemplate* graph, void**, size_t* count) {
    ENTER("cuGraphGetNodes", kDriver);
    if (!state().graphs.count(graph)) return kInvalidValue;
    *count = graph->nodes.size();
    return kSuccess;
}

API cuGraphDestroy(GraphTemplate* graph) {
    ENTER("cuGraphDestroy", kDriver);
    if (!state().graphs.erase(graph)) return kInvalidValue;
    delete graph;
    return kSuccess;
}

API cuGraphInstantiateWithFlags(void** executable, GraphTemplate* graph, unsigned long long) {
    ENTER("cuGraphInstantiate", kHealthy);
    if (!state().graphs.count(graph)) return kInvalidValue;
    auto copy = std::make_shared<const GraphTemplate>(*graph);
    *executable = const_cast<GraphTemplate*>(copy.get());
    state().executables[*executable] = copy;
    return kSuccess;
}

API cuGraphExecDestroy(void* executable) {
    ENTER("cuGraphExecDestroy", kDriver);
    return state().executables.erase(executable) ? kSuccess : kInvalidValue;
}

API cuGraphLaunch(void* executable, Stream* stream) {
    ENTER("cuGraphLaunch", kHealthy);
    auto found = state().executables.find(executable);
    if (found == state().executables.end()) return kInvalidValue;
    if (!state().streams.count(stream)) return stream ? kInvalidHandle : kNotSupported;
    if (stream->capture) return kNotSupported;  // CUDA makes a child graph of it; nobody here needs that
    const size_t nodes = found->second->nodes.size();
    auto replay = std::make_shared<Replay>();
    replay->graph = found->second;
    replay->started.assign(nodes, 0);
    replay->finished.assign(nodes, 0);
    stream->queue.push_back({{}, nullptr, nullptr, replay});
    return kSuccess;
}
