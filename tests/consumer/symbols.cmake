# The dynamic symbols that a library defines: its own function, and nothing of eigenflow.
execute_process(COMMAND ${NM} -D --defined-only ${LIBRARY} OUTPUT_VARIABLE _symbols
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]*eigenflow[^\n]*" _leaked "${_symbols}")
if(_leaked)
  message(FATAL_ERROR "symbols of eigenflow are visible from outside: ${_leaked}")
endif()
if(NOT _symbols MATCHES " T embedding_theta\n")
  message(FATAL_ERROR "embedding_theta is not visible: ${_symbols}")
endif()
