#pragma once

#include <string>

#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "support/memory.hpp"

namespace support {

/// Calls a kernel with exactly the scratch that `reserve(workspace)` counts. Empty when the call succeeds and stays inside,
/// and when one byte less is refused: always, unless
/// `may_need_less` (a call with nothing to do, or one of several that share a reservation).
template <class Reserve, class Call>
std::string run_in_exact_scratch(Reserve const& reserve, Call const& call, bool may_need_less = false) {
  lacuna::Workspace counting;
  reserve(counting);
  std::size_t const bytes = counting.used_bytes();
  GuardedMemory memory(bytes);
  if (bytes > 0) {
    lacuna::Status const small = call(memory.workspace(bytes - 1));
    if (small.code != lacuna::Errc::workspace_too_small && !(small && may_need_less)) return "one byte less was not refused";
    if (!memory.guards_untouched()) return "the refused call wrote past its scratch";
  }
  lacuna::Status const status = call(memory.workspace());
  if (!status) return status.message;
  return memory.guards_untouched() ? "" : "wrote past its scratch";
}

}  // namespace support
