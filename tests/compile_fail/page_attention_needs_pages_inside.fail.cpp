// expect: Method: the Selector needs Status score(
#include "lacuna/lacuna.hpp"

// Candidates must be named among pages.
lacuna::Method<lacuna::Page<16>, lacuna::PageAttention<lacuna::WindowAttention>, lacuna::TopMass, lacuna::PagedCache>
    method;
