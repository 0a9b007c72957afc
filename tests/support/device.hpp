#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "lacuna/core/workspace.hpp"

namespace support {

inline void cuda_check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("cuda: ") + cudaGetErrorString(error));
}

/// A stream of the test's own, so that whatever runs on the default stream by mistake is seen.
class Stream {
 public:
  Stream() { cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait() const { cuda_check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Elements on the device between two guards of 256 bytes.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::vector<T> const& values) : DeviceArray(values.size()) { upload(values); }
  /// Every byte 0xFD, which makes a NaN of every floating-point type and no plausible id.
  explicit DeviceArray(std::size_t elements) : elements_(elements) {
    cuda_check(cudaMalloc(reinterpret_cast<void**>(&memory_), bytes() + 2 * kGuard));
    cuda_check(cudaMemset(memory_, kByte, bytes() + 2 * kGuard));
    cuda_check(cudaDeviceSynchronize());
  }
  ~DeviceArray() { cudaFree(memory_); }
  DeviceArray(DeviceArray&& other) noexcept : elements_(other.elements_), memory_(other.memory_) {
    other.memory_ = nullptr;
  }
  DeviceArray(DeviceArray const&) = delete;
  DeviceArray& operator=(DeviceArray const&) = delete;
  DeviceArray& operator=(DeviceArray&&) = delete;

  T* data() const { return reinterpret_cast<T*>(memory_ + kGuard); }
  std::size_t size() const { return elements_; }

  void upload(std::vector<T> const& values) {
    cuda_check(cudaMemcpy(data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    cuda_check(cudaDeviceSynchronize());
  }
  std::vector<T> download() const {
    std::vector<T> values(elements_);
    cuda_check(cudaDeviceSynchronize());
    cuda_check(cudaMemcpy(values.data(), data(), bytes(), cudaMemcpyDeviceToHost));
    return values;
  }
  void poison() const {
    cuda_check(cudaMemset(data(), kByte, bytes()));
    cuda_check(cudaDeviceSynchronize());
  }
  bool guards_untouched() const {
    std::vector<unsigned char> before(kGuard), after(kGuard), expected(kGuard, kByte);
    cuda_check(cudaDeviceSynchronize());
    cuda_check(cudaMemcpy(before.data(), memory_, kGuard, cudaMemcpyDeviceToHost));
    cuda_check(cudaMemcpy(after.data(), memory_ + kGuard + bytes(), kGuard, cudaMemcpyDeviceToHost));
    return before == expected && after == expected;
  }

 private:
  static constexpr std::size_t kGuard = 256;
  static constexpr int kByte = 0xFD;
  std::size_t bytes() const { return elements_ * sizeof(T); }

  std::size_t elements_ = 0;
  std::byte* memory_ = nullptr;
};

/// Scratch of exactly this many bytes.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : memory_(bytes) {}
  lacuna::Workspace workspace() const { return {memory_.data(), memory_.size()}; }
  bool guards_untouched() const { return memory_.guards_untouched(); }

 private:
  DeviceArray<std::byte> memory_;
};

}  // namespace support
