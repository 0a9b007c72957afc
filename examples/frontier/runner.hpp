#pragma once

#include <iosfwd>
#include <vector>

#include "frontier/records.hpp"
#include "frontier/settings.hpp"

namespace frontier {

/// Takes every model through tasks x lengths x seeds x samples under methods x budgets and returns a record of each, in
/// that order. Records that settings.out holds already are kept, not computed again. A prompt is read once for all
/// methods that leave it dense, and several sequences of a sample are continued side by side; samples are shared out
/// among threads. Progress and messages go to `messages`. Throws UsageError before any work, std::runtime_error when a
/// file or the model fails.
std::vector<Record> run(Settings const& settings, std::ostream& messages, bool terminal);

}  // namespace frontier
