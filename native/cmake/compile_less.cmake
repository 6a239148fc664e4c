# Compiling C++ is most of a fresh clone's time. Where there is a ccache, what was compiled before comes from it, also for
# a clone in another folder; elsewhere the headers that most files of a target include are compiled once per target. Not
# both: ccache does not keep what was compiled with precompiled headers unless its user told it to.
# docs/decisions has the measurements.
if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(CCACHE ccache)
  if(CCACHE)
    get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${root} CCACHE_NOHASHDIR=1 ${CCACHE})
  endif()
endif()

set(STANDARD_HEADERS <algorithm> <cerrno> <cstdint> <cstring> <functional> <map> <memory> <optional> <set> <string>
                     <unordered_map> <utility> <variant> <vector>)

# precompile(target header...) or precompile(target REUSE_FROM other): `other` must be compiled with the same options.
function(precompile target)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  if(ARGV1 STREQUAL REUSE_FROM)
    target_precompile_headers(${target} REUSE_FROM ${ARGV2})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()
