#include "support/heap.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> allocations{0}, allocated_bytes{0};

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  allocated_bytes += static_cast<std::int64_t>(bytes);
  if (bytes == 0) bytes = 1;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

support::Heap support::heap() { return {allocations, allocated_bytes}; }

// Never inlined: the compiler would take memory from an allocation function that goes back by free for a mistake.
#define LACUNA_NEVER_INLINED __attribute__((noinline))
LACUNA_NEVER_INLINED void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
LACUNA_NEVER_INLINED void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
// Sanitizers bring this one themselves, and would miss their own `delete`.
LACUNA_NEVER_INLINED void* operator new(std::size_t bytes, std::nothrow_t const&) noexcept {
  try {
    return allocate(bytes, alignof(std::max_align_t));
  } catch (std::bad_alloc const&) {
    return nullptr;
  }
}
LACUNA_NEVER_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
LACUNA_NEVER_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
