// expect: FixedPair and PerHeadPair are for a Unit of columns and diagonals
#include "lacuna/lacuna.hpp"

// Tokens are one choice per head.
lacuna::Method<lacuna::Token, lacuna::WindowAttention, lacuna::FixedPair, lacuna::EvictingCache> method;
