# talus_options(<target>): the warnings, floating-point rule and sanitizers of all host code.
#
# -ffp-contract=off: the simulator's arithmetic is bit-exact and the references are written in plain
# C++; a compiler that fuses a*b+c on one machine and not on another would break both.
# -fno-semantic-interposition: position-independent code may inline what could be interposed.
option(TALUS_PRECOMPILED_HEADERS "Parse the headers of the standard library and GoogleTest once" ON)

function(talus_options target)
    talus_warnings(${target})
    get_target_property(type ${target} TYPE)
    if(NOT type STREQUAL EXECUTABLE) # -fPIE, and small
        talus_precompiled_headers(${target} talus_standard_headers)
    endif()
endfunction()

function(talus_warnings target)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Werror -ffp-contract=off
        -fno-semantic-interposition>)
    if(TALUS_SANITIZE)
        target_compile_options(${target} PRIVATE
            $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=address,undefined -fno-sanitize-recover=all
            -fno-omit-frame-pointer>)
        target_link_options(${target} PRIVATE -fsanitize=address,undefined)
    endif()
endfunction()

# talus_precompiled_headers(<target> <headers>): the C++ files of <target> begin with what target
# <headers> has parsed, which has the same options. A file without them builds too, only longer.
function(talus_precompiled_headers target headers)
    get_target_property(files ${target} SOURCES)
    if(files MATCHES "\\.c(;|$)")
        return() # C files would have to have some as well
    endif()
    if(TARGET ${headers} AND NOT target STREQUAL headers)
        target_precompile_headers(${target} REUSE_FROM ${headers})
    endif()
endfunction()

# talus_quick(<files>...): files whose code runs once and takes long to compile (command lines, JSON).
function(talus_quick)
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O1>"
                                SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# talus_header_set(<name> <headers>...): target <name>, for talus_precompiled_headers().
function(talus_header_set name)
    set(source ${CMAKE_BINARY_DIR}/CMakeFiles/${name}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "// What is precompiled needs a file beside it.\n")
    add_library(${name} OBJECT ${source})
    target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

if(TALUS_PRECOMPILED_HEADERS)
    talus_header_set(talus_standard_headers
        <algorithm> <array> <bit> <chrono> <cstdint> <cstring> <filesystem> <functional> <map>
        <memory> <optional> <random> <span> <stdexcept> <string> <string_view> <unordered_map>
        <utility> <variant> <vector>)
    talus_warnings(talus_standard_headers)
endif()
