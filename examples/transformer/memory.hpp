#pragma once

#include <cstddef>
#include <lacuna/lacuna.hpp>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace transformer {

/// Turns a Status that is not ok into an exception with its sentence and numbers.
inline void require(lacuna::Status status) {
  if (status) return;
  throw std::runtime_error(std::string(status.message) + " (" + std::to_string(status.value) + ", bound " +
                           std::to_string(status.bound) + ")");
}

/// Memory that the library asks its caller for.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes = 0) { reserve(bytes); }

  /// At least so many bytes; what was held before is gone when that takes new memory.
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    memory_.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
    bytes_ = bytes;
  }

  void* data() const { return memory_.get(); }
  lacuna::Workspace workspace() const { return {memory_.get(), bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{lacuna::Workspace::kAlignment};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace transformer
