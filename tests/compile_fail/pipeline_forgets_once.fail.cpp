// expect: Pipeline: one store cannot follow two rules of forgetting
#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::Dense, lacuna::SnapKv, lacuna::Tova> pipeline;
