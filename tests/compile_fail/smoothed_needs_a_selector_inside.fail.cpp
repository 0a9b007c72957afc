// expect: Method: the Selector needs Status score(
#include "lacuna/lacuna.hpp"

// The last queries are about tokens, or columns and diagonals.
lacuna::Method<lacuna::Page<16>, lacuna::Smoothed<lacuna::WindowAttention>, lacuna::FixedBudget, lacuna::PagedCache>
    method;
