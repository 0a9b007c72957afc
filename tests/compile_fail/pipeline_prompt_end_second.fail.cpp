// expect: Pipeline: the second method must decide at the prompt's end
#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::Dense, lacuna::Quest> pipeline;
