#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::VerticalSlash> pipeline;
