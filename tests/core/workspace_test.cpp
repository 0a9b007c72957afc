#include "lacuna/core/workspace.hpp"

#include <cstdint>

#include "support/catch.hpp"
#include "support/memory.hpp"

namespace {

using lacuna::Workspace;

template <class Carve>
void same_carving(Carve const& carve) {
  Workspace counting;
  carve(counting);
  support::GuardedMemory memory(counting.used_bytes());
  Workspace real = memory.workspace();
  carve(real);
  CHECK(real.used_bytes() == counting.used_bytes());
  CHECK(real.fits());
  Workspace small = memory.workspace(counting.used_bytes() - 1);
  carve(small);
  CHECK_FALSE(small.fits());
}

TEST_CASE("workspace: counting first gives exactly the bytes that carving then needs", "[core]") {
  same_carving([](Workspace& w) {
    w.take<char>(3);
    w.take<double>(5);
    w.take<float, 2>({7, 9});
  });
}

TEST_CASE("workspace: pieces are aligned and do not overlap", "[core]") {
  support::GuardedMemory memory(4096);
  Workspace w = memory.workspace();
  char* const a = w.take<char>(3);
  float* const b = w.take<float>(100);
  char* const c = w.take<char>(1);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % Workspace::kAlignment == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(b) % Workspace::kAlignment == 0);
  CHECK(reinterpret_cast<char*>(b) >= a + 3);
  CHECK(c >= reinterpret_cast<char*>(b + 100));
}

TEST_CASE("workspace: too small a buffer yields null, never a piece past its end", "[core]") {
  support::GuardedMemory memory(128);
  Workspace w = memory.workspace();
  CHECK(w.take<char>(128) != nullptr);
  CHECK(w.fits());
  CHECK(w.take<char>(1) == nullptr);
  CHECK_FALSE(w.fits());
  CHECK(w.take<char>(1) == nullptr);
}

TEST_CASE("workspace: the rest begins after what was taken", "[core]") {
  support::GuardedMemory memory(256);
  Workspace w = memory.workspace();
  char* const first = w.take<char>(10);
  Workspace rest = w.rest();
  CHECK(rest.take<char>(1) == first + Workspace::kAlignment);
  CHECK(rest.fits());
  CHECK(Workspace{}.rest().used_bytes() == 0);
}

}  // namespace
