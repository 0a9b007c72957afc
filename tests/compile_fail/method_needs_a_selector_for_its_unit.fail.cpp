// expect: Method: the Selector needs
#include "lacuna/lacuna.hpp"

// Bounds are kept for pages, not for tokens.
lacuna::Method<lacuna::Token, lacuna::MinMaxBound, lacuna::FixedBudget, lacuna::EvictingCache> method;
