// expect: Method: the Selector needs Status score(
#include "lacuna/lacuna.hpp"

// Nobody has said that the highest weight judges groups.
lacuna::Method<lacuna::Token, lacuna::GroupShared<lacuna::WindowPeak>, lacuna::FixedBudget, lacuna::EvictingCache>
    method;
