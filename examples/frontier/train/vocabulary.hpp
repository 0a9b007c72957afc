#pragma once

#include <string>
#include <vector>

namespace frontier {

/// Every word that the nine tasks can write, special tokens first: the closed vocabulary of the bundled models. The
/// order is fixed, so ids never change while the lists do not.
std::vector<std::string> closed_vocabulary();

/// tokenizer.json of that vocabulary: a WordLevel model behind a splitter that keeps what its expression matches.
std::string tokenizer_json(std::vector<std::string> const& vocabulary);

}  // namespace frontier
