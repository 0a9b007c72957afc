#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Block<16>, lacuna::Normalised<lacuna::MeanPool>, lacuna::TopMass, lacuna::ContiguousCache>
    method;
