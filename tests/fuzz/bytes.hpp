#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lacuna/core/workspace.hpp"

namespace fuzz {

/// Numbers out of the fuzzer's bytes; zeros when there are no more.
class Bytes {
 public:
  Bytes(std::uint8_t const* data, std::size_t size) : data_(data), end_(data + size) {}

  bool empty() const { return data_ == end_; }
  std::uint8_t byte() { return empty() ? std::uint8_t{0} : *data_++; }
  /// In [low, high].
  std::int64_t number(std::int64_t low, std::int64_t high) {
    std::int64_t const value = byte() | std::int64_t{byte()} << 8;
    return low + value % (high - low + 1);
  }
  /// Mostly small, sometimes anything.
  std::int32_t id() {
    std::uint8_t const first = byte();
    if (first < 250) return first;
    std::uint32_t value = first;
    for (int i = 0; i < 3; ++i) value = value << 8 | byte();
    return static_cast<std::int32_t>(value);
  }
  std::vector<std::int32_t> ids(std::int64_t count) {
    std::vector<std::int32_t> all;
    for (std::int64_t i = 0; i < count; ++i) all.push_back(id());
    return all;
  }

 private:
  std::uint8_t const *data_, *end_;
};

/// Aligned scratch of exactly the size that was counted.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : lines_(bytes / sizeof(Line) + 1), bytes_(bytes) {}
  void* data() { return lines_.data(); }
  lacuna::Workspace workspace() { return {lines_.data(), bytes_}; }

 private:
  struct alignas(lacuna::Workspace::kAlignment) Line {
    std::byte bytes[lacuna::Workspace::kAlignment];
  };
  std::vector<Line> lines_;
  std::size_t bytes_;
};

}  // namespace fuzz
