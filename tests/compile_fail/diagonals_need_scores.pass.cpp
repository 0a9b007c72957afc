#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::VerticalSlashUnit<64>, lacuna::WindowAttention, lacuna::FixedPair, lacuna::ContiguousCache>
    method;
