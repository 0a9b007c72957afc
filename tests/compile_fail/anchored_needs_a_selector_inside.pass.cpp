#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Token, lacuna::Anchored<lacuna::WindowAttention>, lacuna::FixedBudget, lacuna::EvictingCache>
    method;
