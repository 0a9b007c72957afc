#include "lacuna/lacuna.hpp"

lacuna::Sublinear<lacuna::FixedBudget> budget;
