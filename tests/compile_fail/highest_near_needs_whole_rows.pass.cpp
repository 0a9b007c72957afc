#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Block<16>, lacuna::MeanPool, lacuna::FixedBudget, lacuna::ContiguousCache> method;
