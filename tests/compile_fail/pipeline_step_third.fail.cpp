// expect: Pipeline: the third method must decide at each step
#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::Dense, lacuna::Dense, lacuna::SnapKv> pipeline;
