// expect: PerHeadShare: the Budget needs a member share to replace
#include "lacuna/lacuna.hpp"

lacuna::PerHeadShare<lacuna::FixedBudget> budget;
