// expect: Method: the Selector needs Status score(
#include "lacuna/lacuna.hpp"

// One query has no window before which it could look.
lacuna::Method<lacuna::Token, lacuna::BeforeWindow<lacuna::LastAttention>, lacuna::FixedBudget, lacuna::EvictingCache>
    method;
