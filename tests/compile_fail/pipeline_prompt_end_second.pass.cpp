#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::Dense, lacuna::SnapKv> pipeline;
