#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Page<16>, lacuna::Smoothed<lacuna::MinMaxBound>, lacuna::FixedBudget, lacuna::PagedCache> method;
