@echo off
rem install.cmd FOLDER: a virtual environment in FOLDER with Nightlink in it, from the wheels beside this script.
setlocal
if "%~1"=="" (echo usage: install.cmd FOLDER& exit /b 2)
set "TARGET=%~f1"
cd /d "%~dp0"
if "%PYTHON%"=="" set "PYTHON=py -3.11"
%PYTHON% -m venv "%TARGET%" || exit /b 1
rem This machine's pip settings play no part.
set PIP_CONFIG_FILE=NUL
"%TARGET%\Scripts\python" -m pip install --quiet --disable-pip-version-check --no-index --find-links wheels --require-hashes --only-binary :all: --no-deps -r requirements.txt || exit /b 1
"%TARGET%\Scripts\nightlink" custodian --help > NUL || exit /b 1
echo installed: %TARGET%\Scripts\nightlink
