#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::VerticalSlashUnit<64>, lacuna::WindowAttention, lacuna::FixedPair, lacuna::ContiguousCache>
    method;
static_assert(!lacuna::BudgetFor<lacuna::FixedPair, lacuna::Token>);
