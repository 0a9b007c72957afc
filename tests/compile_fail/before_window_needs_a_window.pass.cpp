#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Token, lacuna::BeforeWindow<lacuna::WindowAttention>, lacuna::FixedBudget, lacuna::EvictingCache>
    method;
