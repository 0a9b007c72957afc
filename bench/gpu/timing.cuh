#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "cuda: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

/// Median milliseconds of one call of `work(stream)`, captured once and replayed `runs` times.
template <class Work>
double replay_ms(cudaStream_t stream, int runs, Work&& work, int* nodes = nullptr) {
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  work(stream);
  check(cudaStreamEndCapture(stream, &graph));
  if (nodes != nullptr) {
    std::size_t count = 0;
    check(cudaGraphGetNodes(graph, nullptr, &count));
    *nodes = static_cast<int>(count);
  }
  check(cudaGraphInstantiate(&ready, graph, 0));
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int run = 0; run < runs + 2; ++run) {
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(ready, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float ms = 0.0F;
    check(cudaEventElapsedTime(&ms, begin, end));
    if (run >= 2) times.push_back(ms);
  }
  check(cudaGraphExecDestroy(ready));
  check(cudaGraphDestroy(graph));
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs) / 2];
}

}  // namespace bench
