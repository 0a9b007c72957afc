#pragma once

#include <string>

#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "support/memory.hpp"

namespace support {

/// Calls a kernel with exactly the scratch that `reserve(workspace)` counts. Empty when the call succeeds and stays
/// inside, and when one byte less is refused with this sentence: always, unless `may_need_less` because there is
/// nothing to do.
template <class Reserve, class Call>
std::string run_in_exact_scratch(Reserve const& reserve, Call const& call, std::string const& refusal,
                                 bool may_need_less = false) {
  lacuna::Workspace counting;
  reserve(counting);
  std::size_t const bytes = counting.used_bytes();
  GuardedMemory memory(bytes);
  if (bytes > 0) {
    lacuna::Status const small = call(memory.workspace(bytes - 1));
    bool const refused = small.code == lacuna::Errc::workspace_too_small && small.message == refusal;
    if (!refused && !(small && may_need_less)) return "one byte less was not refused";
    if (!memory.guards_untouched()) return "the refused call wrote past its scratch";
  }
  lacuna::Status const status = call(memory.workspace());
  if (!status) return status.message;
  return memory.guards_untouched() ? "" : "wrote past its scratch";
}

}  // namespace support
