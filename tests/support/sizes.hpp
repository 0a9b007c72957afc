#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/inputs.hpp"
#include "support/problem_case.hpp"

namespace support {

/// Prompts: nothing, one token, primes, around the tile, with every group size and head size that models use.
inline std::vector<Sizes> prompt_sizes() {
  return {{0, 0, 2, 2, 16},     {1, 1, 1, 1, 16},     {2, 2, 2, 3, 32},     {3, 3, 1, 8, 64},     {13, 13, 2, 4, 80},
          {17, 17, 1, 5, 128},  {31, 31, 2, 1, 64},   {63, 63, 1, 7, 32},   {64, 64, 2, 2, 16},   {65, 65, 1, 3, 64},
          {97, 97, 1, 2, 80},   {127, 127, 1, 4, 16}, {128, 128, 2, 2, 32}, {129, 129, 1, 5, 64}, {191, 191, 1, 1, 128},
          {257, 257, 2, 2, 16}, {70, 70, 1, 2, 1},    {70, 70, 1, 2, 3},    {40, 40, 1, 1, 256},  {33, 33, 1, 2, 100}};
}

/// Fewer queries than keys: one decode step, a few speculative ones, the second chunk of a prompt.
inline std::vector<Sizes> continued_sizes() {
  return {{1, 2, 2, 1, 16},    {1, 17, 1, 8, 64},   {1, 64, 2, 3, 32},   {1, 65, 1, 7, 64},
          {1, 129, 2, 4, 128}, {1, 300, 1, 2, 80},  {2, 67, 1, 5, 16},   {15, 128, 2, 2, 64},
          {17, 131, 1, 4, 32}, {63, 200, 1, 1, 64}, {65, 257, 1, 3, 16}, {5, 1000, 1, 2, 32}};
}

/// Memory layouts that must all give the same bits as the first.
inline std::vector<Layout> layouts() {
  return {{false, 0, 0}, {true, 0, 0},   {false, 5, 0}, {true, 3, 0},   {false, 0, 1},
          {true, 0, 8},  {false, 8, 16}, {true, 1, 48}, {false, 2, 256}};
}

inline std::string name_of(Sizes const& s) {
  return "len_q " + std::to_string(s.len_q) + ", len_k " + std::to_string(s.len_k) + ", heads_kv " +
         std::to_string(s.heads_kv) + ", group " + std::to_string(s.group) + ", dim " + std::to_string(s.dim);
}

inline std::string name_of(Layout const& l) {
  return std::string(l.heads_first ? "heads first" : "tokens first") + ", padding " + std::to_string(l.padding) +
         ", page_tokens " + std::to_string(l.page_tokens);
}

}  // namespace support
