#pragma once

#include <cassert>
#include <cstdint>
#include <utility>

namespace lacuna {

enum class Errc : std::uint8_t {
  ok,
  invalid_argument,     // a shape, size or parameter that no call could serve
  workspace_too_small,  // the caller brought fewer bytes than plan() asked for
  out_of_pages,         // the page pool is full; what was stored before is untouched
  launch_failed,        // the CUDA runtime refused; the message is its own and the value its code
};

/// What a call has to say for itself. The message is a static sentence that names the argument and what it should be;
/// `value` is what came instead and `bound` the limit it broke, where the sentence speaks of numbers.
struct [[nodiscard]] Status {
  Errc code = Errc::ok;
  char const* message = "";
  std::int64_t value = 0;
  std::int64_t bound = 0;

  constexpr explicit operator bool() const { return code == Errc::ok; }

  static constexpr Status invalid(char const* message, std::int64_t value = 0, std::int64_t bound = 0) {
    return {Errc::invalid_argument, message, value, bound};
  }
};

/// A value, or the Status that explains why there is none.
template <class T>
class [[nodiscard]] Expected {
 public:
  constexpr Expected(T value) : value_(std::move(value)) {}
  constexpr Expected(Status status) : status_(status) { assert(!status && "Expected: a success needs a value"); }

  constexpr explicit operator bool() const { return static_cast<bool>(status_); }
  constexpr Status status() const { return status_; }
  constexpr T const& operator*() const { return value_; }
  constexpr T& operator*() { return value_; }
  constexpr T const* operator->() const { return &value_; }
  constexpr T* operator->() { return &value_; }

 private:
  T value_{};
  Status status_{};
};

}  // namespace lacuna
