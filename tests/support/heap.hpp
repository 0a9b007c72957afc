#pragma once

#include <cstdint>

namespace support {

/// What a program has asked operator new for.
struct Heap {
  std::int64_t allocations = 0;
  std::int64_t bytes = 0;
  friend constexpr bool operator==(Heap const&, Heap const&) = default;
};

/// Since the program began, on every thread.
Heap heap();

/// What `call` asks for.
template <class Call>
Heap heap_of(Call const& call) {
  Heap const before = heap();
  call();
  Heap const after = heap();
  return {after.allocations - before.allocations, after.bytes - before.bytes};
}

}  // namespace support
