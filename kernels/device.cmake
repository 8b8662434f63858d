# The accelerator's kernels. kernels/<op>/device.c (both cores, no V extension, since it also runs on
# core A) and, where core B computes, kernels/<op>/vector.c (V extension) become one image,
# <build>/share/talus/kernels/<op>.bin, which is also embedded in talus_device_images.
set(kernel_script ${PROJECT_SOURCE_DIR}/firmware/pe/kernel.ld)
set(images)
set(TALUS_IMAGE_DATA "")
set(TALUS_IMAGE_ENTRIES "")
foreach(op IN LISTS TALUS_OPERATORS)
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${op}/device.c)
        continue()
    endif()
    set(vector)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${op}/vector.c)
        set(vector VECTOR_SOURCES ${op}/vector.c)
    endif()
    set(elf ${PROJECT_BINARY_DIR}/share/talus/kernels/${op}.elf)
    set(binary ${PROJECT_BINARY_DIR}/share/talus/kernels/${op}.bin)
    talus_device_elf(talus_kernel_${op} OUTPUT ${elf} LINKER_SCRIPT ${kernel_script}
                     SOURCES ${op}/device.c ${vector}
                     CFLAGS -I${PROJECT_SOURCE_DIR} -fPIE -fvisibility=hidden
                     LDFLAGS -pie --no-dynamic-linker -z text)
    add_custom_command(OUTPUT ${binary} COMMAND ${TALUS_DEVICE_OBJCOPY} -O binary ${elf} ${binary}
                       DEPENDS ${elf} VERBATIM)
    list(APPEND images ${binary})
    # Only for the names of functions in messages; the code is embedded.
    install(FILES ${elf} DESTINATION ${CMAKE_INSTALL_DATADIR}/talus/kernels)
    string(APPEND TALUS_IMAGE_DATA
           "TALUS_EMBED(talus_image_${op}, \"${binary}\")\n")
    string(APPEND TALUS_IMAGE_ENTRIES
           "    {\"${op}\", talus_image_${op}, talus_image_${op}_end},\n")
endforeach()
configure_file(common/device_images.cpp.in device_images.cpp @ONLY)
add_library(talus_device_images STATIC ${CMAKE_CURRENT_BINARY_DIR}/device_images.cpp)
set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/device_images.cpp PROPERTIES
                            OBJECT_DEPENDS "${images}")
talus_options(talus_device_images)
target_include_directories(talus_device_images PUBLIC ${PROJECT_SOURCE_DIR})
