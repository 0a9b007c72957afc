#include "lacuna/lacuna.hpp"

lacuna::PerHeadShare<lacuna::AnchoredTopMass> budget;
