#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Token, lacuna::GroupShared<lacuna::WindowAttention>, lacuna::FixedBudget, lacuna::EvictingCache>
    method;
