// expect: Method: the Selector needs Status score(
#include "lacuna/lacuna.hpp"

// Bounds are of pages.
lacuna::Method<lacuna::Token, lacuna::Anchored<lacuna::MinMaxBound>, lacuna::FixedBudget, lacuna::EvictingCache> method;
