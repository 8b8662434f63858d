# libtalus_cuda.so: the CUDA target, loaded with dlopen; nothing links against it. TALUS_CUDA=AUTO builds
# it where nvcc is found, ON insists, OFF skips.
#
# The runtime is linked statically and cuBLASLt is loaded at run time, so that the library needs only the
# driver. Real code for sm_80, sm_90 and sm_100, and PTX of compute_90 for what comes later.
#
# nvcc is called directly: CMake 3.25 knows no dialect flags of nvcc 13, and configuring without the CUDA
# language keeps machines without nvcc on one path.
set(TALUS_CUDA_REAL 80 90 100 CACHE STRING "Architectures with machine code in libtalus_cuda.so")
set(TALUS_CUDA_PTX 90 CACHE STRING "Architecture of the PTX in libtalus_cuda.so")
set(TALUS_CUDA_BUILT OFF)
if(NOT TALUS_CUDA STREQUAL OFF)
    find_program(TALUS_NVCC nvcc HINTS /usr/local/cuda/bin DOC "CUDA compiler")
    if(TALUS_NVCC)
        file(REAL_PATH ${TALUS_NVCC} nvcc_path)
        cmake_path(GET nvcc_path PARENT_PATH cuda_root)
        cmake_path(GET cuda_root PARENT_PATH cuda_root)
        find_path(TALUS_CUDA_INCLUDE_DIR cuda_runtime.h
                  HINTS ${cuda_root}/include ${cuda_root}/targets/x86_64-linux/include)
        find_library(TALUS_CUDART_STATIC cudart_static
                     HINTS ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/targets/x86_64-linux/lib)
    endif()
    if(TALUS_NVCC AND TALUS_CUDA_INCLUDE_DIR AND TALUS_CUDART_STATIC)
        set(TALUS_CUDA_BUILT ON)
    elseif(TALUS_CUDA STREQUAL ON)
        message(FATAL_ERROR "TALUS_CUDA=ON, but nvcc, its headers or libcudart_static.a were not found. "
                            "Put nvcc in PATH or set TALUS_NVCC.")
    endif()
endif()
message(STATUS "CUDA target: ${TALUS_CUDA_BUILT} (TALUS_CUDA=${TALUS_CUDA})")
if(NOT TALUS_CUDA_BUILT)
    return()
endif()

set(TALUS_CUDA_INCLUDES "")
set(TALUS_CUDA_DECLARATIONS "")
set(TALUS_CUDA_ENTRIES "")
set(cuda_sources common/cuda_target.cu)
foreach(op IN LISTS TALUS_OPERATORS)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${op}/cuda.cu)
        list(APPEND cuda_sources ${op}/cuda.cu)
        string(APPEND TALUS_CUDA_INCLUDES "#include \"kernels/${op}/op.hpp\"\n")
        string(APPEND TALUS_CUDA_DECLARATIONS
               "namespace ${op} {\nextern const CudaKernel kCuda;\n}\n")
        string(APPEND TALUS_CUDA_ENTRIES "    {&${op}::kOperator, &${op}::kCuda},\n")
    endif()
endforeach()
configure_file(common/cuda_registry.hpp.in
               ${CMAKE_CURRENT_BINARY_DIR}/include/kernels/common/cuda_registry.hpp @ONLY)

set(nvcc_flags -std=c++20 -O3 -DNDEBUG -ccbin ${CMAKE_CXX_COMPILER} --Werror=all-warnings
    -Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror,-ffp-contract=off
    -gencode=arch=compute_${TALUS_CUDA_PTX},code=compute_${TALUS_CUDA_PTX}
    -I${PROJECT_SOURCE_DIR} -I${CMAKE_CURRENT_BINARY_DIR}/include)
foreach(architecture IN LISTS TALUS_CUDA_REAL)
    list(APPEND nvcc_flags -gencode=arch=compute_${architecture},code=sm_${architecture})
endforeach()
set(cuda_objects)
foreach(source IN LISTS cuda_sources)
    string(REPLACE "/" "_" leaf ${source})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${leaf}.o)
    add_custom_command(OUTPUT ${object}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/cuda
        COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${TALUS_NVCC} ${nvcc_flags} -MD -MF ${object}.d
                -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
        DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${source}" VERBATIM
        COMMAND_EXPAND_LISTS)
    list(APPEND cuda_objects ${object})
endforeach()

add_library(talus_cuda MODULE fc/cublaslt.cpp ${cuda_objects})
set_target_properties(talus_cuda PROPERTIES LINKER_LANGUAGE CXX CXX_VISIBILITY_PRESET hidden
                      VISIBILITY_INLINES_HIDDEN ON)
target_compile_options(talus_cuda PRIVATE -Wall -Wextra -Wpedantic -Werror -ffp-contract=off)
target_include_directories(talus_cuda PRIVATE ${PROJECT_SOURCE_DIR})
target_include_directories(talus_cuda SYSTEM PRIVATE ${TALUS_CUDA_INCLUDE_DIR})
find_package(Threads REQUIRED)
# --exclude-libs: the runtime's symbols stay inside.
target_link_libraries(talus_cuda PRIVATE ${TALUS_CUDART_STATIC} ${CMAKE_DL_LIBS} Threads::Threads rt)
target_link_options(talus_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,defs)
install(TARGETS talus_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
