#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "lacuna/core/workspace.hpp"

namespace support {

/// Memory for the library to work in: aligned, full of poison, with a guard on both sides.
class GuardedMemory {
 public:
  static constexpr std::size_t kGuardBytes = 4096;

  explicit GuardedMemory(std::size_t bytes)
      : bytes_(bytes),
        memory_(static_cast<unsigned char*>(::operator new (bytes + 2 * kGuardBytes, std::align_val_t{kGuardBytes}))) {
    std::memset(memory_.get(), kPoison, bytes_ + 2 * kGuardBytes);
  }

  void* data() { return memory_.get() + kGuardBytes; }
  std::size_t size() const { return bytes_; }
  lacuna::Workspace workspace() { return {data(), bytes_}; }
  lacuna::Workspace workspace(std::size_t bytes) { return {data(), bytes}; }

  bool guards_untouched() const {
    for (std::size_t b = 0; b < kGuardBytes; ++b)
      if (memory_.get()[b] != kPoison || memory_.get()[kGuardBytes + bytes_ + b] != kPoison) return false;
    return true;
  }

 private:
  static constexpr unsigned char kPoison = 0xFF;  // NaN in every format, -1 as an id
  struct Free {
    void operator()(unsigned char* p) const { ::operator delete (p, std::align_val_t{kGuardBytes}); }
  };
  std::size_t bytes_;
  std::unique_ptr<unsigned char, Free> memory_;
};

}  // namespace support
