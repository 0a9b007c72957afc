#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::VerticalSlashUnit<64>, lacuna::WindowAttention, lacuna::PerHeadPair, lacuna::ContiguousCache>
    method;
static_assert(!lacuna::BudgetFor<lacuna::PerHeadPair, lacuna::Token>);
