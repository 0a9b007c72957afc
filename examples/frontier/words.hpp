#pragma once

#include <string>
#include <vector>

/// The closed lists that prompts are made of. Order is part of the data: changing it changes every prompt.
namespace frontier::words {

std::vector<std::string> const& item_adjectives();
std::vector<std::string> const& item_materials();
std::vector<std::string> const& item_types();
std::vector<std::string> const& characters();
std::vector<std::string> const& locations();
std::vector<std::string> const& events();
std::vector<std::string> const& common_pool();  // 1,024 words for counting tasks
std::vector<std::string> const& entities();     // names for fact documents
std::vector<std::string> const& relations();    // what a fact document states of an entity

/// 256 two-character symbols, a letter and a digit, of which keys, values and variable names are made.
std::vector<std::string> const& symbols();

}  // namespace frontier::words
