#pragma once

#include <cstddef>
#include <cstdint>

#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// One buffer of the caller's, carved into aligned pieces. A Workspace without memory only counts, so that plan() and
/// the call itself run the same carving code and can never disagree.
class Workspace {
 public:
  static constexpr std::size_t kAlignment = 64;

  constexpr Workspace() = default;  // counts only
  constexpr Workspace(void* memory, std::size_t bytes) : memory_(static_cast<std::byte*>(memory)), capacity_(bytes) {}

  /// Null when this workspace only counts or when it is too small; `fits()` tells at the end.
  template <class T>
  T* take(std::int64_t elements) {
    std::size_t const begin = (used_ + kAlignment - 1) / kAlignment * kAlignment;
    used_ = begin + static_cast<std::size_t>(elements) * sizeof(T);
    return memory_ == nullptr || used_ > capacity_ ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }

  template <class T, int Rank>
  TensorView<T, Rank> take(std::array<std::int64_t, Rank> extents) {
    std::int64_t elements = 1;
    for (std::int64_t extent : extents) elements *= extent;
    return dense_view<T, Rank>(take<T>(elements), extents);
  }

  constexpr std::size_t used_bytes() const { return used_; }
  constexpr std::size_t capacity_bytes() const { return capacity_; }
  constexpr bool fits() const { return used_ == 0 || (memory_ != nullptr && used_ <= capacity_); }

  /// The sentence, unless everything taken so far fits; value is what the caller brought, bound what was needed.
  constexpr Status check(char const* sentence) const {
    if (fits()) return {};
    return {Errc::workspace_too_small, sentence, static_cast<std::int64_t>(capacity_),
            static_cast<std::int64_t>(used_)};
  }

  /// The part that nobody has taken yet.
  constexpr Workspace rest() const {
    if (memory_ == nullptr || used_ > capacity_) return {};
    std::size_t const begin = (used_ + kAlignment - 1) / kAlignment * kAlignment;
    return begin > capacity_ ? Workspace{} : Workspace{memory_ + begin, capacity_ - begin};
  }

  /// `bytes` of it from `begin` on, both multiples of kAlignment.
  constexpr Workspace part(std::size_t begin, std::size_t bytes) const {
    return memory_ == nullptr || begin + bytes > capacity_ ? Workspace{} : Workspace{memory_ + begin, bytes};
  }

 private:
  std::byte* memory_ = nullptr;  // aligned to kAlignment by the caller
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace lacuna
