#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Block<16>, lacuna::Antidiagonal, lacuna::FixedBudget, lacuna::ContiguousCache> method;
