#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Page<16>, lacuna::PageAttention<lacuna::MinMaxBound>, lacuna::TopMass, lacuna::PagedCache>
    method;
