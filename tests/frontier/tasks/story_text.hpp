#pragma once

#include <string>
#include <vector>

namespace test {

/// The item that each chapter of a story tells of acquiring, found from the text by patterns of its own; empty where
/// there is none.
std::vector<std::string> acquired_items(std::string const& story);

}  // namespace test
