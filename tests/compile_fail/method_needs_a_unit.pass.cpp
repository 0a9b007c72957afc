#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Token, lacuna::WindowAttention, lacuna::FixedBudget, lacuna::ContiguousCache> method;
